"""``litequeue completion``: have the shell complete commands and options."""

from __future__ import annotations

import click

from litequeue.cli.parameters import Command


@click.command(cls=Command, example='eval "$(litequeue completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the shell's completion script."""
    from click.shell_completion import ShellComplete, get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - the choice above has click's own names
    made = kind(ctx.find_root().command, {}, "litequeue", "_LITEQUEUE_COMPLETE")
    # bash's own `source` starts a bash to ask for its version, and warns where there is none.
    click.echo(ShellComplete.source(made))
