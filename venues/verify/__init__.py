"""Is a recorded book what the venue showed? Every check of files of frames and of book tapes."""

from venues.verify.files import Job, Refusal, exit_code, jobs
from venues.verify.orders import verify_orders
from venues.verify.quotes import Agreement
from venues.verify.recording import verify_recording
from venues.verify.report import (
    BookReport,
    Check,
    Count,
    FileReport,
    Outcome,
    Place,
    StreamReport,
)
from venues.verify.tape import compare, verify_tape
from venues.verify.tolerance import TOLERANCES, Beside, Match, Tolerance, tolerance_of

__all__ = [
    "TOLERANCES", "Agreement", "Beside", "BookReport", "Check", "Count", "FileReport", "Job",
    "Match", "Outcome", "Place", "Refusal", "StreamReport", "Tolerance", "compare", "exit_code",
    "jobs", "tolerance_of", "verify_orders", "verify_recording", "verify_tape",
]  # fmt: skip
