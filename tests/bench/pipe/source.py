"""A server of files that costs next to nothing: the kernel sends them. Arguments: host:port, directory."""

import sys

from aiohttp import web


def main(address: str, directory: str) -> None:
    host, _, port = address.rpartition(":")
    app = web.Application()
    app.router.add_static("/", directory)
    web.run_app(app, host=host, port=int(port), print=None, access_log=None)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
