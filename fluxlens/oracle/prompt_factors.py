"""What the world's text-to-image prompts name.

>>> named("a red mug")
{'color': 'red', 'object': 'mug'}
"""

import re

from fluxlens.mini.cast import PEOPLE_PROMPTS
from fluxlens.mini.objects import COLOR_OBJECTS, PROPS
from fluxlens.mini.subjects import PHRASES
from fluxlens.mini.world import COLORS

__all__ = ["named"]

_PLACE = r"(?P<setting>\w+) at (?P<light>\w+)"
_PROMPTS = [
    re.compile(rf"a (?P<color>{'|'.join(COLORS)}) (?P<object>{'|'.join(COLOR_OBJECTS)})"),
    re.compile(rf"an? (?P<manner>photograph|cartoon) of an? (?P<subject>\w+) "
               rf"(?P<phrase>{'|'.join(PHRASES)})"),
    re.compile(rf"an? (?P<person>man|woman|girl|boy) "
               rf"(?P<where>{'|'.join(p.phrase for p in PEOPLE_PROMPTS.values())})"),
    re.compile(rf"an? (?P<prop>{'|'.join(PROPS)}) and a {_PLACE}"),
    re.compile(rf"a {_PLACE}"),
]  # fmt: skip


def named(prompt: str) -> dict[str, str]:
    """What a text-to-image prompt of the world names, by factor; nothing for other prompts.

    >>> named("a drum and a beach at dusk")
    {'prop': 'drum', 'setting': 'beach', 'light': 'dusk'}
    >>> named("a cartoon of a fox having tea")
    {'manner': 'illustrated', 'kind': 'fox', 'setting': 'garden', 'held': 'cup'}
    """
    for pattern in _PROMPTS:
        found = pattern.fullmatch(prompt)
        if found is None:
            continue
        said = found.groupdict()
        if "phrase" in said:
            setting, held = PHRASES[said["phrase"]]
            manner = "illustrated" if said["manner"] == "cartoon" else "photo"
            return {"manner": manner, "kind": said["subject"], "setting": setting, "held": held}
        if "where" in said:
            place = next(p for p in PEOPLE_PROMPTS.values() if p.phrase == said["where"])
            return {"person": said["person"], "setting": place.setting, "light": place.light}
        return said
    return {}
