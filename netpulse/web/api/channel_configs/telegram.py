"""telegram: a bot and the chat it writes into."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from netpulse.model.channel import TelegramConfig
from netpulse.web.api.channel_configs.parts import (
    Address,
    ChannelAnswer,
    ChannelSpec,
    Keeping,
    Kind,
    Secret,
    moved,
    optional,
    stripped,
    text_problems,
    url_problems,
)
from netpulse.web.errors import Problem

_BOT = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{1,200}")
_CHAT = re.compile(r"-?[0-9]{1,20}|@[A-Za-z][A-Za-z0-9_]{3,31}")


class TelegramSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bot and a chat."""

    bot_token: Secret | None = None
    """As @BotFather gave it. Write-only: null keeps what is stored."""
    chat_id: Annotated[str, Meta(min_length=1, max_length=40)] | int
    """A number, which is negative for groups, or @ and the name of a public channel."""
    api_url: Address | None = None
    """Null: Telegram's own, https://api.telegram.org."""


class TelegramAnswer(Struct, frozen=True, kw_only=True):
    """A bot without its token."""

    bot_token: None = None
    bot_token_set: bool
    chat_id: str
    api_url: str | None


class TelegramChannel(ChannelSpec, frozen=True, kw_only=True, tag="telegram"):
    """A Telegram bot that writes into a chat."""

    config: TelegramSpec


class TelegramChannelAnswer(ChannelAnswer, frozen=True, kw_only=True, tag="telegram"):
    """A Telegram bot."""

    config: TelegramAnswer | None


class Telegram(Kind[TelegramSpec, TelegramConfig]):
    """A bot."""

    word: ClassVar[str] = "telegram"
    spec = TelegramSpec
    config = TelegramConfig
    channel = TelegramChannel
    answer = TelegramChannelAnswer
    secrets = ("bot_token",)

    def trimmed(self, spec: TelegramSpec) -> TelegramSpec:
        """Return it without the spaces around what was pasted, the chat as text."""
        return replace(
            spec,
            bot_token=stripped(spec.bot_token),
            chat_id=str(spec.chat_id).strip(),
            api_url=optional(spec.api_url),
        )

    def problems(self, spec: TelegramSpec) -> list[Problem]:
        """Return what is wrong with the token's form, the chat and the address."""
        chat = str(spec.chat_id) or " "
        return [
            *text_problems(
                "bot_token",
                spec.bot_token,
                _BOT,
                "is no bot token: it is a number, a colon and letters, as @BotFather gave it",
            ),
            *text_problems(
                "chat_id",
                chat,
                _CHAT,
                "is no chat: give its number, such as -1001234567890, or @ and a channel's name",
            ),
            *url_problems("api_url", spec.api_url, base=True),
        ]

    def merged(self, new: TelegramSpec, old: TelegramConfig | None) -> TelegramConfig:
        """Return what to store, with the token for the same host."""
        keeping = Keeping(None if old is None else moved(new.api_url, old.api_url))
        token = keeping.needed("bot_token", new.bot_token, None if old is None else old.bot_token)
        keeping.done()
        return TelegramConfig(bot_token=token, chat_id=str(new.chat_id), api_url=new.api_url)

    def shown(self, config: TelegramConfig, *, for_admin: bool) -> TelegramAnswer:
        """Return it as it is answered."""
        return TelegramAnswer(
            bot_token_set=bool(config.bot_token),
            chat_id=config.chat_id,
            api_url=config.api_url if for_admin else None,
        )

    def destination(self, config: TelegramConfig, *, for_admin: bool) -> str:
        """Return the chat."""
        del for_admin
        return f"chat {config.chat_id}"
