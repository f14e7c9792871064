"""Makes ``twistd etlmon-node`` known; every start of any twistd imports this, so it stays small."""

from twisted.application.service import ServiceMaker

etlmonNode = ServiceMaker(
    "etlmon node",
    "etlmon.node.tap",
    "Watch this host and serve what is seen over HTTP.",
    "etlmon-node",
)
