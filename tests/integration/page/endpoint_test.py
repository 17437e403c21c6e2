#!/usr/bin/env python3
"""The admin endpoint over real sockets: its bounds, its behaviour towards rude peers, and its answers against its description."""
import http.client
import json
import socket
import sys
import threading
import time

from fake_proxy import fake_proxy


def ask(address, method, target, body=None, headers=None):
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request(method, target, body, headers or {})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, text, response.headers


def raw(address, data, seconds=5):
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as peer:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        answer = b""
        while part := peer.recv(65536):
            answer += part
        return answer


def check_bounds(address):
    assert raw(address, b"\x00\x01garbage\r\n\r\n").startswith(b"HTTP/1.1 400 "), "garbage"
    assert raw(address, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431 "), "headers"
    head = b"PUT /v1/routes/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
    assert raw(address, head).startswith(b"HTTP/1.1 413 "), "body"
    assert raw(address, b"") == b""
    status, _, _ = ask(address, "GET", "/v1/status", headers={"Host": "evil.example"})
    assert status == 403, status
    status, _, _ = ask(address, "POST", "/v1/routes/orders/cutover?dry_run=true", headers={"Origin": "http://evil.example"})
    assert status == 403, status


def check_connections_are_bounded(address):
    host, port = address.split(":")
    peers = [socket.create_connection((host, int(port)), timeout=5) for _ in range(90)]
    time.sleep(0.5)
    closed = 0
    for peer in peers:
        peer.settimeout(0.05)
        try:
            closed += peer.recv(1) == b""
        except TimeoutError:
            pass
    for peer in peers:
        peer.close()
    assert closed >= 20, f"{closed} of 90 silent connections were refused"
    time.sleep(0.5)
    assert ask(address, "GET", "/healthz")[0] == 200


def check_keep_alive_and_pipelining(address):
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = raw(address, one + one + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 3, answer
    assert b"{" not in raw(address, b"HEAD /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")


def check_flips(address):
    status, body, _ = ask(address, "POST", "/v1/routes/orders/cutover?dry_run=true")
    assert status == 200 and json.loads(body)["result"] == "dry_run", body
    seen = set()
    answers = []
    flipper = threading.Thread(target=lambda: answers.append(ask(address, "POST", "/v1/routes/orders/cutover")))
    flipper.start()
    while flipper.is_alive():
        for route in json.loads(ask(address, "GET", "/v1/status")[1])["routes"]:
            seen.add(route["flip"]["step"])
        time.sleep(0.05)
    flipper.join()
    status, body, _ = answers[0]
    assert status == 200 and json.loads(body)["result"] == "done", body
    assert {"drain", "boundary", "record"} <= seen, seen
    status, body, _ = ask(address, "POST", "/v1/routes/orders/cutover")
    assert status == 200 and json.loads(body)["result"] == "unchanged", body


def check_description(address):
    try:
        import jsonschema
        import yaml
    except ImportError:
        print("endpoint: not compared with the description (PyYAML and jsonschema are missing)")
        return
    api = yaml.safe_load(ask(address, "GET", "/v1/openapi.yaml")[1])
    for method, path, target in [("get", "/v1/status", "/v1/status"), ("get", "/v1/connections", "/v1/connections"),
                                 ("get", "/v1/routes", "/v1/routes"), ("get", "/v1/routes/{route}", "/v1/routes/orders"),
                                 ("get", "/readyz", "/readyz"), ("get", "/healthz", "/healthz"),
                                 ("post", "/v1/routes/{route}/cutover", "/v1/routes/orders/cutover?dry_run=true"),
                                 ("post", "/v1/routes/{route}/rollback", "/v1/routes/orders/rollback?dry_run=true"),
                                 ("post", "/v1/transactions/{transactional_id}/abort", "/v1/transactions/shop/abort")]:
        schema = api["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
        answer = json.loads(ask(address, method.upper(), target)[1])
        jsonschema.validate(answer, nullable({**schema, "components": api["components"]}))
    refused = json.loads(ask(address, "POST", "/v1/routes/orders/recover")[1])
    schema = api["components"]["schemas"]["RecoveryReport"]
    jsonschema.validate(refused, nullable({**schema, "components": api["components"]}))


def nullable(schema):
    """OpenAPI 3.0's `nullable` as JSON Schema says it."""
    if isinstance(schema, list):
        return [nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: nullable(value) for key, value in schema.items()}
    if out.pop("nullable", False):
        return {"anyOf": [{"type": "null"}, out]}
    return out


def main():
    with fake_proxy(sys.argv[1]) as address:
        check_description(address)
        check_bounds(address)
        check_keep_alive_and_pipelining(address)
        check_connections_are_bounded(address)
        check_flips(address)
        check_description(address)
    print("endpoint: passed")


if __name__ == "__main__":
    main()
