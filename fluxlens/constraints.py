"""Print the versions that this release was tested with, for pip's ``-c``.

```sh
python -m fluxlens.constraints > constraints.txt
pip install -c constraints.txt 'fluxlens[study]'
```
"""

from pathlib import Path

HERE = Path(__file__).resolve().parent


def constraints() -> str:
    """Return the pins, one ``name==version`` a line; in a checkout those of its root."""
    shipped = HERE / "constraints.txt"
    return (shipped if shipped.is_file() else HERE.parent / shipped.name).read_text("utf-8")


if __name__ == "__main__":
    print(constraints(), end="")
