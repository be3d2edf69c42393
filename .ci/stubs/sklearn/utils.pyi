from typing import Any

class Tags:
    input_tags: Any
    target_tags: Any
    requires_fit: bool

def __getattr__(name: str) -> Any: ...
