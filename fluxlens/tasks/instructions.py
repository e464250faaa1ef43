import tomllib
from importlib.resources import files
QUOTED = tomllib.loads(files("fluxlens.tasks").joinpath("instructions.toml").read_text("utf-8"))
SHARED: dict[str, str] = QUOTED["shared"]["prompts"]
