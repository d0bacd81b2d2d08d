"""The settings file of a desk as it was when `trifecta up` began."""

from pathlib import Path

from cli.config import FILE, settings_of

COPY = "settings.toml"  # in the desk's folder


class PinnedSettings:
    """A copy of the settings file that ingest reads at every restart, whatever becomes of the file.

    Parameters
    ----------
    config : Path or None
        None is trifecta.toml; without one the copy is empty.
    folder : Path
        Of the desk; it is there.

    Attributes
    ----------
    copy : Path

    Raises
    ------
    SettingsError
        If the file, or the environment, says what no desk can be.
    """

    def __init__(self, config: Path | None, folder: Path) -> None:
        settings_of(config, {})
        self._file, self._told = config or FILE, False
        self._text = _text(self._file)
        self.copy = folder / COPY
        self.copy.write_bytes(self._text)

    def changed(self) -> str:
        """What to say when the file is another one now; "" if it is not, or it was said before."""
        if self._told or _text(self._file) == self._text:
            return ""
        self._told = True
        return (
            f"{self._file} has changed: this desk keeps the settings that it was started with; a "
            "new --deployment takes the new ones"
        )


def _text(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""
