"""Cross-species face alignment: human face models carried to animals with few labels."""

__version__ = "0.1.0"
