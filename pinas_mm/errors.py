"""The one exception that means: the user can fix this, and the message says how."""


class UserError(ValueError):
    """Bad input: the text says what was given, what is allowed and what to do.

    The tools print it as a single line and exit with status 2. Libraries on the way (mmengine's
    registries, PyTorch's data workers) re-raise exceptions as ``type(error)(text)``, so it takes
    one string.
    """
