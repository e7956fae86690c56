"""`python -m tiny_audio` is `tiny-audio`."""

import sys

from tiny_audio.cli import main

if __name__ == "__main__":  # workers started by `spawn` import this file too
    sys.exit(main())
