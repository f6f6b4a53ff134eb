"""What wandb's public API asks a server of when it lists runs and reads their histories. Written against wandb 0.31."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def serve_project(nodes: list[dict[str, Any]], rows: list[dict[str, Any]], asked: list[Any]) -> Iterator[str]:
    """A server with one project, which lists one run a page; every run has the same history.

    Args:
        nodes: The runs as GraphQL gives them.
        rows: Rows of the history.
        asked: Receives the variables of each question.
    """

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        query, variables = question["query"], question.get("variables") or {}
        asked.append(variables)
        if "viewer" in query:
            return {"viewer": {"id": "1", "username": "me", "entity": "team", "flags": "{}", "teams": {"edges": []}}}
        if "query Runs(" in query:
            place = int(variables.get("cursor") or 0)
            info = {"endCursor": str(place + 1), "hasNextPage": place + 1 < len(nodes)}
            page = {"edges": [{"node": nodes[place], "cursor": info["endCursor"]}], "pageInfo": info}
            return {"project": {"internalId": "1", "runCount": len(nodes), "readOnly": False, "runs": page}}
        keys = json.loads(variables.get("spec", "{}")).get("keys", [])
        of_keys = [row for row in rows if row.keys() >= set(keys)]
        return {
            "project": {
                "run": {
                    "historyKeys": {"lastStep": rows[-1]["_step"], "keys": {}},
                    "parquetHistory": {"parquetUrls": [], "liveData": rows},
                    "sampledHistory": [of_keys],
                }
            }
        }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            body = json.dumps({"data": answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
