"""Asks a running service for recommendations: python client.py http://127.0.0.1:8000 1 2 3"""

import json
import os
import sys
import time
import urllib.error
import urllib.request


def ask(address, path, body, tries=5):
    """The answer of the service; waits and tries again while it is busy."""
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("RECAE_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(address + path, json.dumps(body).encode(), headers)
    for left in reversed(range(tries)):
        try:
            with urllib.request.urlopen(request, timeout=15) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503) or not left:
                raise SystemExit(json.load(error)["error"]["message"]) from None
            time.sleep(float(error.headers.get("Retry-After", 1)))


if __name__ == "__main__":
    address, history = sys.argv[1], [int(item) for item in sys.argv[2:]]
    for item in ask(address, "/v1/recommend", {"history": history, "k": 5})["items"]:
        print(item["rank"], item["item_id"], f"{item['score']:.3f}", item.get("title", ""))
