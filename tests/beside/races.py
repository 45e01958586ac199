"""Differences that are known, each with its reason. They are counted and not printed; all else that differs is a difference."""

from files import HUGE

NO_ROOM = "an import that found no room left a record on its host (docs/fidelity.md)"
READ_AHEAD = "pieces that were read ahead of a client that left: a race how many"


def set_aside(differences):
    """Takes the differences out that are known. The reasons, each once."""
    reasons = set()
    for name, (real, fake) in list(differences.items()):
        if not name.startswith("record of"):
            continue
        if real is None and fake["content_length"] == HUGE:
            reason = NO_ROOM
        elif isinstance(real, dict) and fake and real | {"uploaded_count": fake["uploaded_count"]} == fake:
            reason = READ_AHEAD
        else:
            continue
        del differences[name]
        reasons.add(reason)
    return reasons
