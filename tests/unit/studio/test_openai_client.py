"""The official client of OpenAI takes the studio for OpenAI."""

import base64

import openai
import pytest

from tests.unit.studio.upstream import KEY, Upstream


# The client warns that OpenAI's own service has ended; the interface has not.
@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
async def test_the_official_client_makes_lists_fetches_and_deletes(upstream: Upstream) -> None:
    await upstream.behave(instant=True)
    async with openai.AsyncOpenAI(
        base_url=upstream.origin + "/v1", api_key=KEY, max_retries=0
    ) as client:
        video = await client.videos.create_and_poll(
            prompt="A quiet sea", model="sora-2", seconds="4", size="1280x720", poll_interval_ms=50
        )
        assert video.status == "completed"
        content = await client.videos.download_content(video.id)
        assert (await content.aread())[4:8] == b"ftyp"
        assert [listed.id async for listed in client.videos.list(limit=1)] == [video.id]
        assert (await client.videos.delete(video.id)).deleted
        with pytest.raises(openai.NotFoundError, match="There is no video"):
            await client.videos.retrieve(video.id)
        with pytest.raises(openai.BadRequestError, match="seconds must be"):
            await client.videos.create(prompt="x", seconds="99")  # type: ignore[arg-type]
        images = await client.images.generate(model="gpt-image-1", prompt="A sea", size="256x256")
        assert images.data is not None
        assert base64.b64decode(images.data[0].b64_json or "").startswith(b"\x89PNG")
