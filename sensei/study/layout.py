"""Where everything is."""

from pathlib import Path

CONFIG_FOLDER = Path(__file__).resolve().parent.parent.parent / "config"
