"""A server of the S3 protocol, as a process of its own: prints its port."""

import logging
from typing import Any
from urllib.parse import unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

SIGNED = "AWS4-HMAC-SHA256 Credential=AKIADRAGON/20261121/eu-central-1/s3/aws4_request"


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    dispatch = DomainDispatcherApplication(create_backend_app)

    def application(environ: Any, start_response: Any) -> Any:
        path, mark, query = environ["RAW_URI"].partition("?")
        # Google's protocol is the same, but for credentials, and it does quote slashes.
        if "%2" in path and "AWS4" not in environ.get("HTTP_AUTHORIZATION", "") + query:
            environ["RAW_URI"] = unquote(path) + mark + query
            environ["HTTP_AUTHORIZATION"] = SIGNED
        return dispatch(environ, start_response)

    server = make_server("127.0.0.1", 0, application, threaded=True)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
