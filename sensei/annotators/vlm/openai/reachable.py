"""Whether a server can be asked, by the one request that costs nothing: the list of its models."""

import asyncio
import tempfile
from pathlib import Path

from sensei.annotators.ledger import Ledger
from sensei.annotators.vlm.openai.failures import Failed
from sensei.annotators.vlm.openai.options import OpenAIOptions
from sensei.annotators.vlm.openai.server import ADDRESS, Server
from sensei.core.errors import SenseiError

SECONDS = 10.0
LATER = f"start it or correct {ADDRESS}; to plan without it: SENSEI_PREFLIGHT=offline"


def check_server(options: OpenAIOptions, online: bool = True) -> None:
    """Check key and address and, if `online`, that the server answers and offers the model.

    Raises:
        SenseiError: they are not set, or none; the server does not answer, refuses the key, or has not the model.
    """
    quick = options.model_copy(update={"requests": options.requests.model_copy(update={"timeout": SECONDS})})
    with tempfile.TemporaryDirectory() as folder:  # nothing is asked that belongs in the ledger
        asyncio.run(_check(quick, Ledger(Path(folder) / "ledger.sqlite"), online))


async def _check(options: OpenAIOptions, ledger: Ledger, online: bool) -> None:
    server = Server(options, ledger)
    try:
        if online:
            await _check_offer(server, options.model)
    finally:
        await server.close()


async def _check_offer(server: Server, model: str) -> None:
    try:
        async with asyncio.timeout(SECONDS), server.understood():
            offered = [entry.id for entry in (await server.client.models.list()).data]
    except (Failed, TimeoutError) as error:
        raise SenseiError(f"{server.host} does not answer", found=error if str(error) else "no reply in time", hint=LATER) from None
    except (ValueError, TypeError, AttributeError):
        raise SenseiError(f"{server.host} lists no models", expected=f"an address that ends in /v1 ({ADDRESS})", hint=LATER) from None
    if model not in offered:
        raise SenseiError(f"{server.host} has no model {model!r}", expected=f"one of {', '.join(sorted(offered))}", hint="set `model`")
