"""The yardstick of the benchmarks: a Klein application with one route, under twistd."""

import os
from pathlib import Path

from klein import Klein
from twisted.application.service import Application
from twisted.application.strports import service
from twisted.web.server import Site

klein = Klein()
body = os.environ.get("BARE_BODY")
answer = Path(body).read_bytes() if body else b"[]"


@klein.route("/api/v1/fs", methods=["GET"])
def filesystems(request):
    request.setHeader(b"Content-Type", b"application/json")
    return answer


class QuietSite(Site):
    def log(self, request):
        pass


application = Application("bare")
endpoint = f"tcp:{os.environ['BARE_PORT']}:interface=127.0.0.1"
service(endpoint, QuietSite(klein.resource())).setServiceParent(application)
