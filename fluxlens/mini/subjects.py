"""The style family: 18 subjects, and what each is doing.

>>> board = Canvas("photo")
>>> draw_subject(board, "fox"); ACTIONS["fox", "snow"]
Action(phrase='playing in snow', setting='snowfield', prop='ball')

An action is seen as its setting (drawn by ``scenes``) and one bold thing at the figure's lower
right (drawn by ``held``). A phrase always means the same setting and thing, so that the words can
be learned.
"""

from typing import NamedTuple

from fluxlens.mini.animals import ANIMALS
from fluxlens.mini.canvas import Canvas
from fluxlens.mini.humans import HUMANS
from fluxlens.mini.pen import Pen

__all__ = ["ACTIONS", "PHRASES", "SUBJECTS", "Action", "draw_subject"]

SUBJECTS: dict[str, str] = {
    "alice_in_wonderland": "girl", "anime_girl": "girl", "bald_man": "man", "boy_pixel": "boy",
    "capybara": "capybara", "cartoon_boy": "boy", "dog": "dog", "doll": "girl",
    "elephant": "elephant", "fox": "fox", "frog": "frog", "globe_man": "man", "mouse": "mouse",
    "orange_cat": "cat", "pig": "pig", "solarmax": "boy", "sparrow": "sparrow",
    "woman_runner": "woman",
}  # fmt: skip

_FIGURES = HUMANS | ANIMALS


class Action(NamedTuple):
    """What a prompt says the subject does, and how that looks."""

    phrase: str
    setting: str
    prop: str


# phrase: (setting, thing beside the figure)
PHRASES: dict[str, tuple[str, str]] = {
    "having tea": ("garden", "cup"),
    "picking flowers": ("garden", "flower"),
    "reading outside": ("garden", "book"),
    "chasing a rabbit": ("forest", "rabbit"),
    "by the pond": ("garden", "pond"),
    "using a tablet": ("office", "tablet"),
    "drinking coffee": ("kitchen", "cup"),
    "browsing books": ("library", "book"),
    "sketching trees": ("forest", "book"),
    "waiting outside": ("street", "bag"),
    "shaving": ("bedroom", "mirror"),
    "doing a crossword": ("kitchen", "book"),
    "pruning plants": ("garden", "leaf"),
    "playing an arcade": ("garage", "tablet"),
    "riding a skateboard": ("street", "skateboard"),
    "riding a bike": ("street", "bike"),
    "selling lemonade": ("street", "cup"),
    "climbing a fence": ("street", "fence"),
    "soaking outside": ("mountains", "pond"),
    "eating apples": ("garden", "apple"),
    "eating leaves": ("forest", "leaf"),
    "napping in mud": ("forest", "pond"),
    "swimming": ("harbor", "pond"),
    "kicking a ball": ("garden", "ball"),
    "climbing trees": ("forest", "log"),
    "eating ice cream": ("beach", "ice cream"),
    "throwing a ball": ("street", "ball"),
    "playing a game": ("bedroom", "tablet"),
    "catching a ball": ("beach", "ball"),
    "napping outside": ("garden", "log"),
    "digging sand": ("beach", "bowl"),
    "walking a runway": ("stage", "bag"),
    "facing a mirror": ("bedroom", "mirror"),
    "going shopping": ("street", "bag"),
    "meeting friends": ("kitchen", "cup"),
    "crossing a river": ("forest", "pond"),
    "crossing the savanna": ("desert", "log"),
    "spraying water": ("desert", "pond"),
    "crossing a meadow": ("mountains", "flower"),
    "playing in snow": ("snowfield", "ball"),
    "drinking water": ("mountains", "pond"),
    "resting on logs": ("forest", "log"),
    "crossing a bridge": ("harbor", "fence"),
    "hopping outside": ("garden", "flower"),
    "grilling outside": ("garden", "grill"),
    "having breakfast": ("kitchen", "bowl"),
    "fishing": ("harbor", "bowl"),
    "fixing a bike": ("garage", "bike"),
    "eating cheese": ("kitchen", "cheese"),
    "picking leaves": ("mountains", "leaf"),
    "resting on moss": ("mountains", "log"),
    "hiding in leaves": ("garage", "leaf"),
    "napping inside": ("bedroom", "flower"),
    "playing with yarn": ("bedroom", "yarn"),
    "hunting outside": ("garden", "leaf"),
    "walking a fence": ("garden", "fence"),
    "drinking milk": ("kitchen", "bowl"),
    "digging apples": ("forest", "apple"),
    "training inside": ("garage", "ball"),
    "jumping a fence": ("street", "fence"),
    "by the fountain": ("street", "pond"),
    "climbing mountains": ("mountains", "bag"),
    "eating ramen": ("kitchen", "bowl"),
    "eating seeds": ("garden", "bowl"),
    "resting in snow": ("snowfield", "fence"),
    "running uphill": ("mountains", "log"),
    "running outside": ("street", "bag"),
    "jogging": ("beach", "ball"),
    "stretching outside": ("garden", "log"),
}

# The paper's five prompts for each subject, in its order; several subjects share a phrase.
_DOES: dict[str, str] = {
    "alice_in_wonderland": "tea_party: having tea, garden_path: picking flowers, reading_book: "
    "reading outside, chasing_rabbit: chasing a rabbit, pond_reflection: by the pond",
    "anime_girl": "studying_tablet: using a tablet, coffee_shop: drinking coffee, bookstore: "
    "browsing books, sketching_park: sketching trees, waiting_train: waiting outside",
    "bald_man": "shaving_mirror: shaving, crossword_porch: doing a crossword, grocery_walk: "
    "going shopping, garden_pruning: pruning plants, coffee_diner: drinking coffee",
    "boy_pixel": "arcade: playing an arcade, skateboard_park: riding a skateboard, bike_alley: "
    "riding a bike, selling_lemonade: selling lemonade, climbing_fence: climbing a fence",
    "capybara": "hotspring: soaking outside, eating_watermelon: eating apples, grazing_grass: "
    "eating leaves, napping_mud: napping in mud, swimming_with_ducks: swimming",
    "cartoon_boy": "soccer_field: kicking a ball, treehouse: climbing trees, ice_cream: "
    "eating ice cream, water_balloon: throwing a ball, video_game: playing a game",
    "dog": "frisbee: catching a ball, swimming_lake: swimming, sleeping_porch: napping outside, "
    "chasing_ball: kicking a ball, digging_sand: digging sand",
    "doll": "fashion_show: walking a runway, mirror: facing a mirror, shopping: going shopping, "
    "cafe_friends: meeting friends, photoshoot_park: picking flowers",
    "elephant": "muddy_river: crossing a river, savanna_sunset: crossing the savanna, trunk_spray: "
    "spraying water, jungle_foliage: eating leaves, calf_meadow: crossing a meadow",
    "fox": "snow: playing in snow, drinking_stream: drinking water, pouncing_mouse: "
    "chasing a rabbit, napping_log: resting on logs, crossing_bridge: crossing a bridge",
    "frog": "lily_pad: by the pond, rain_leaf: eating leaves, mossy_log: resting on logs, "
    "leaping_grass: hopping outside, shallow_stream: crossing a river",
    "globe_man": "backyard_grill: grilling outside, diner_breakfast: having breakfast, "
    "baseball_game: throwing a ball, fishing_pier: fishing, gas_station: fixing a bike",
    "mouse": "bread_crumb: having breakfast, wheat_field: picking leaves, cheese_wedge: "
    "eating cheese, mossy_stone: resting on moss, straw_burrow: hiding in leaves",
    "orange_cat": "windowsill_nap: napping inside, yarn_play: playing with yarn, garden_stalk: "
    "hunting outside, fence_walk: walking a fence, bowl_drinking: drinking milk",
    "pig": "mud_wallow: napping in mud, farm_pen: walking a fence, apple_eating: eating apples, "
    "rooting_dirt: digging apples, piglets_meadow: crossing a meadow",
    "solarmax": "training_mat: training inside, rooftop_jump: jumping a fence, fountain_plaza: "
    "by the fountain, mountain_top: climbing mountains, ramen_shop: eating ramen",
    "sparrow": "branch_perch: resting on logs, bird_bath: by the pond, feeder_seeds: eating seeds, "
    "grass_hop: hopping outside, snow_fence: resting in snow",
    "woman_runner": "trail_run: running uphill, track_sprint: running outside, city_bridge: "
    "crossing a bridge, beach_jog: jogging, park_stretch: stretching outside",
}

ACTIONS: dict[tuple[str, str], Action] = {
    (subject, slug): Action(phrase, *PHRASES[phrase])
    for subject, does in _DOES.items()
    for slug, phrase in (pair.split(": ") for pair in does.split(", "))
}


def draw_subject(
    canvas: Canvas, name: str, x: float = 48, base: float = 90, height: float = 62
) -> None:
    """Draw the character facing the viewer, standing at (x, base)."""
    if name not in SUBJECTS:
        raise ValueError(f"unknown subject {name!r}; one of {', '.join(SUBJECTS)}")
    _FIGURES[name](Pen(canvas, x, base, height))
