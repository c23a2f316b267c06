"""``vipose evaluate``: a mode on labelled pictures (``images``), on labelled sequences (``sequence``), one run against another."""
