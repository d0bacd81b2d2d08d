"""What a person sees after a run: round trips, metrics, report.json, trades.csv, report.html."""
