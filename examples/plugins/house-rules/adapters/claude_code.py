"""Claude Code: the platform's generic installer for rules, skills and hooks."""

from plugins_registry.builtins import AgentskillsAdaptor as Adaptor  # noqa: F401
