"""Networks on the Hugging Face Hub. Its client handles transfers, logins and the cache."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tsrnet.core.errors import UserError
from tsrnet.core.reading import brief

PREFIX = "hf://"
FILES = ["model.json", "README.md", "*.safetensors"]
"""The only files of a folder `model` that are transferred."""


def is_address(run: object) -> bool:
    return str(run).startswith(PREFIX)


def download(address: str | Path) -> Path:
    """The folder in which the Hub's client keeps the files of `hf://owner/name[@revision]`."""
    found = re.fullmatch(rf"{PREFIX}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", str(address))
    if not found:
        raise UserError(f"run: got {address}, need hf://owner/name or hf://owner/name@revision")
    with _hub(f"{address}: cannot be loaded") as hub:
        return Path(hub.snapshot_download(found[1], revision=found[2], allow_patterns=FILES))


def upload(folder: Path, repo: str, *, private: bool) -> str:
    """Upload a folder `model` to a repository, which is created if needed; return its address."""
    with _hub(f"{repo}: cannot be published") as hub:
        api = hub.HfApi()
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo, folder_path=folder, allow_patterns=FILES, commit_message="Add networks"
        )
        return str(address)


@contextmanager
def _hub(failed: str) -> Iterator[Any]:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError("huggingface_hub is not installed; pip install 'tsrnet[hub]'") from error
    for name in ("httpx", "httpx2"):  # the present client and the next one log every request
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield huggingface_hub
    except Exception as error:  # not logged in, no such repository, no network: any error of the service
        raise UserError(f"{failed} ({brief(error)}); check the name, or run hf auth login") from error
