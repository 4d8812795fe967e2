"""The one exception that a user, a file or a model reply can cause."""


class SenseiError(Exception):
    """A mistake that the reader of the message can mend: what is wrong, what was found, what was expected, what to do.

    Printed in one to three lines and never with a traceback by the command line and the workflow.
    """

    def __init__(self, what: str, *, found: object = None, expected: object = None, hint: str | None = None):
        self.what, self.found, self.expected, self.hint = what, found, expected, hint
        lines = [what]
        if found is not None or expected is not None:
            parts = [f"found {found}"] if found is not None else []
            parts += [f"expected {expected}"] if expected is not None else []
            lines[0] += ": " + ", ".join(parts)
        if hint:
            lines.append(f"-> {hint}")
        super().__init__("\n".join(lines))

    def __reduce__(self):
        return _rebuild, (self.what, self.found, self.expected, self.hint)


def _rebuild(what: str, found: object, expected: object, hint: str | None) -> SenseiError:
    return SenseiError(what, found=found, expected=expected, hint=hint)
