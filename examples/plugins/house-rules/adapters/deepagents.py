"""DeepAgents: the platform's generic installer for rules and skills."""

from plugins_registry.builtins import AgentskillsAdaptor as Adaptor  # noqa: F401
