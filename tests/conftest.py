"""What all tests share."""

from hypothesis import settings

# Examples take as long as a busy machine makes them; a deadline would fail tests for that.
settings.register_profile("fastpty", deadline=None)
settings.load_profile("fastpty")
