"""Upstream dialects: one file each. `DIALECTS` names them."""

from collections.abc import Mapping
from typing import Final

from services.gateway.providers.openai_videos import OpenAIVideos
from services.gateway.providers.port import Provider

DIALECTS: Final[Mapping[str, type[Provider]]] = {"openai_videos": OpenAIVideos}
