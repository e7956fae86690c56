"""Sends a folder to a repository of the hub: nothing where nothing changed, and onwards where it was interrupted."""

from pathlib import Path

from tiny_audio.errors import PublishError

STALE = ["*.py", "encoder/*", "language_model/*", "training/*", ".eval_results/*"]
"""What an earlier push sent and this one does not is taken away; other files of the repository stay."""


def upload(folder: Path, repo: str, *, private: bool) -> str:
    """Make the repository if there is none, and send what differs from what is there.

    Args:
        folder: all of it is sent.
        repo: `user/name`.
        private: only its owner can see it.

    Returns:
        The address of the commit, the last one if there was nothing to send.

    Raises:
        PublishError: the hub is out of reach, or refuses.
    """
    import httpx2
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    if constants.is_offline_mode():
        raise PublishError(f"cannot push to '{repo}': the hub is switched off by HF_HUB_OFFLINE")
    api = HfApi(library_name="tiny-audio")
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise PublishError(f"'{repo}' is there already, and public; make it private on its page, or name another")
        commit = api.upload_folder(
            repo_id=repo, folder_path=folder, commit_message="Push with tiny-audio", delete_patterns=STALE
        )
    except HfHubHTTPError as error:
        status = error.response.status_code
        hint = "; log in with `hf auth login`, with a token that may write" if status in (401, 403) else ""
        raise PublishError(f"the hub refuses the push to '{repo}' ({_reason(error)}){hint}") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, PublishError):
            raise
        raise PublishError(f"could not push to '{repo}' ({_reason(error)}); the same command goes on") from error
    return str(commit.commit_url)


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
