"""SymPy at work: the partials, kinks and stable forms of elementwise definitions.

    definition --sympy_bridge--> SymPy --scalar--> exact partials, kinks --forms--> equal spellings
        --score (mpmath)--> the chosen forms --record--> derivations.toml --lookup--> a Derivation

`lookup` is what the rest of the house calls; only what is not recorded imports SymPy.
"""
