"""`trifecta kafka`: a local Apache Kafka without Docker, and the topics of a deployment."""

import json as json_lines
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.options import Deployment, Json

if TYPE_CHECKING:
    from flows.kafka_broker import Cluster
    from flows.log.kafka_topics import TopicOutcome

DATA = Path("runs/kafka")  # beside the runs: it holds their rows, and a cache may be deleted

app = typer.Typer(
    help="A local Apache Kafka without Docker, and the topics of a deployment.",
    no_args_is_help=True,
)

Data = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the brokers' data and logs.")]
Servers = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT,...", help="If not given, TRIFECTA_KAFKA or the local one."),
]


@app.command()
def up(
    brokers: Annotated[
        int | None, typer.Option(metavar="1|3", help="3 is a cluster that survives one of them.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=1024, max=65_530, help="First port, 19092 if not given."),
    ] = None,
    data: Data = DATA,
    json: Json = False,
) -> None:
    """Start Apache Kafka on this machine, and make the topics that are planned.

    Ready when it returns. Needs Java 17, and Maven the first time.
    """
    from cli.errors import talk, told

    with told():
        from flows.kafka_broker import prepare, start
        from flows.log.kafka_client import SERVERS, SERVERS_VARIABLE
        from flows.log.kafka_topics import apply_topics, planned_topics

        cluster = prepare(data, brokers=brokers, port=port)
        with talk().status("Kafka") as shown:
            started = start(cluster, say=shown.update)
            shown.update("making topics")
            outcomes = apply_topics(cluster.servers, "", planned_topics())
        if json:
            _print_json({**_state(cluster), "started": started, "topics": _rows(outcomes)})
            return
        unlike = _differing(outcomes)
        if unlike:
            talk().print(f"topics differ from the plan: {', '.join(unlike)}; see 'kafka topics'")
        talk().print("Kafka runs" if started else "Kafka is running already")
        if cluster.servers != SERVERS:
            talk().print(f"for the other commands: export {SERVERS_VARIABLE}={cluster.servers}")
        sys.stdout.write(f"{cluster.servers}\n")


@app.command()
def down(data: Data = DATA) -> None:
    """Stop what `up` has started; the data stays."""
    from cli.errors import talk, told

    with told():
        from flows.kafka_broker import open_cluster, stop

        cluster = open_cluster(data)
        running = [node for node in cluster.nodes if cluster.pid(node) is not None]
        killed = stop(cluster)
        if killed:
            talk().print(f"brokers {killed} did not stop by themselves and were killed")
        talk().print("Kafka is stopped" if running else "nothing was running")


@app.command(epilog="Exit codes: 0 all brokers run and answer; 1 they do not; 2 refused.")
def status(data: Data = DATA, json: Json = False) -> None:
    """Which brokers run, and whether they answer."""
    from cli.errors import told

    with told():
        from rich import box
        from rich.console import Console
        from rich.table import Table

        from flows.kafka_broker import open_cluster

        state = _state(open_cluster(data))
        if json:
            _print_json(state)
        else:
            table = Table("broker", "address", "process", box=box.SIMPLE)
            for broker in state["brokers"]:
                table.add_row(str(broker["broker"]), broker["address"], str(broker["pid"] or "-"))
            Console().print(table)
            Console().print("answers" if state["answers"] else "does not answer")
    raise typer.Exit(0 if state["answers"] else 1)


@app.command(epilog="Exit codes: 0 all is as planned; 1 something differs; 2 refused.")
def topics(
    deployment: Deployment = "",
    servers: Servers = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    json: Json = False,
) -> None:
    """Make topics what infra/kafka/topics.yaml plans, as often as you like.

    Partition counts are never changed: rows would change their lane. They are reported.
    """
    from cli.errors import told

    with told():
        from rich import box
        from rich.console import Console
        from rich.table import Table

        from flows.log.kafka_client import servers_or_default
        from flows.log.kafka_topics import apply_topics, planned_topics

        outcomes = apply_topics(
            servers_or_default(servers), deployment, planned_topics(), dry_run=dry_run
        )
        if json:
            _print_json(_rows(outcomes))
        else:
            table = Table("topic", "would be" if dry_run else "is", "what", box=box.SIMPLE)
            for each in outcomes:
                table.add_row(each.topic, each.outcome.value, each.words)
            Console().print(table)
    raise typer.Exit(1 if _differing(outcomes) else 0)


@app.command(epilog="Exit codes: 0 deleted; 2 refused, or there is no such deployment.")
def drop(
    deployment: Annotated[str, typer.Argument(metavar="NAME", help='"" for the desk without one.')],
    servers: Servers = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a deployment's topics with all their rows; its workers must be stopped."""
    from cli.errors import Refused, talk, told

    with told():
        from flows.log.kafka_client import servers_or_default
        from flows.log.kafka_topics import delete_topics, planned_topics

        where = servers_or_default(servers)
        called = f"deployment {deployment}" if deployment else "the deployment without a name"
        if not yes:
            if not sys.stdin.isatty():
                raise Refused(f"every row of {called} would be lost; say --yes")
            typer.confirm(f"Delete every row of {called} on {where}?", abort=True)
        gone = delete_topics(where, deployment, planned_topics())
        if not gone:
            raise Refused(f"{where} holds no topic of {called}")
        talk().print(f"{len(gone)} topics deleted")


def _state(cluster: "Cluster") -> dict[str, Any]:
    return {
        "servers": cluster.servers,
        "answers": all(cluster.pid(n) is not None for n in cluster.nodes) and cluster.answers(),
        "brokers": [
            {"broker": node, "address": cluster.address_of(node), "pid": cluster.pid(node)}
            for node in cluster.nodes
        ],
    }


def _rows(outcomes: "list[TopicOutcome]") -> list[dict[str, str]]:
    return [{"topic": o.topic, "outcome": o.outcome.value, "words": o.words} for o in outcomes]


def _differing(outcomes: "list[TopicOutcome]") -> list[str]:
    from flows.log.kafka_topics import Outcome

    return [each.topic for each in outcomes if each.outcome is Outcome.DIFFERS]


def _print_json(data: object) -> None:
    sys.stdout.write(json_lines.dumps(data, indent=2) + "\n")
