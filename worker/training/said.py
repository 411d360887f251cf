"""What a run says while it is trained."""

from contract import events


class Tick:
    """A safe point with nothing to say."""


TICK = Tick()
Said = events.Event | Tick
