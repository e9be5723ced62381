"""`make derive`."""

from graphc.derive.record import main

main()
