from contextlib import AbstractContextManager
from typing import Any

def config_context(**settings: Any) -> AbstractContextManager[None]: ...
