"""codegen: a Program in, readable NumPy source and a Python function out.

It knows nothing of derivatives and imports nothing of graphc.
"""
