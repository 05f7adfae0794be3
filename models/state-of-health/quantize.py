"""Makes the int8 files anew from the f32 weights of the last training, and prints what int8 costs.

    python quantize.py --telltale ../../target/debug/telltale --data DIR --work DIR
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

from pathlib import Path

import evaluate
import export
import program

if __name__ == "__main__":
    export.again(Path(__file__).parent, program.arguments(__doc__, evaluate.RECORDINGS).work)
