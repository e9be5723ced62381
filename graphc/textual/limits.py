"""What a graph file may cost to read. A file comes from anywhere; reading it must stay cheap.

Each limit is far above what a person writes and below what hurts a machine.
"""

MAX_BYTES = 64 << 20  # of the graph file itself
MAX_ENTRIES = 500_000  # in one table
MAX_STEPS = 1_000_000  # terms evaluated, functions expanded
MAX_FORMULA = 20_000  # characters of one formula
MAX_NESTING = 100  # brackets and operators in one formula; containers and scopes
MAX_CALLS = 50  # functions called inside functions
MAX_TYPE = 500  # characters of one type
MAX_NDIM = 32  # axes of one value
MAX_ELEMENTS = 10_000_000  # of one constant
MAX_FILE_BYTES = 128 << 20  # of one data file
MAX_INTEGER_BITS = 64  # of a number that arithmetic on literals makes
MAX_SIZE_POWER = 8  # n ** 8
