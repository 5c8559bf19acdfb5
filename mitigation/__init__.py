"""What turns measured counts into better counts. This part imports none of the others.

It is empty in this version: see the README for what is there and what is not yet.
"""

__all__: list[str] = []
