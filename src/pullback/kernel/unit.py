"""A matrix unit that multiplies tiles of bfloat16 numbers: the sizes of its panels, and where float32 numbers are cut.

The scheduler lays constants out so, and the emitter everything else (codegen/llvm/amx_tile.py says what panels are).
"""

STRIP = 16  # rows or columns of a tile
SIDE = 2 * STRIP  # of the sums that are taken together
DEPTH = 32  # steps of k in a tile
LINES = DEPTH // 2  # of a tile, each of which has numbers k and k + LINES side by side
UPPER = 0xFFFF0000  # the bits of a float32 number that a bfloat16 number has
HALF = 0x8000  # added, they are rounded
QUIET = 0x00400000  # keeps what is not a number apart from infinity, whose upper half it may share
LARGE = 2 * 0x7F7F8000  # twice the bits of the least number that would be rounded to infinity
