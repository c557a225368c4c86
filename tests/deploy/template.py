"""`helm template NAME CHART ... -s TEMPLATE`, with the chart's own values: those of a person's files are not at hand.

    template.py template NAME CHART [-f VALUES] -s TEMPLATE
"""

import sys

import helm_python as helm


def main(_, name, place, *options):
    wanted = options[options.index("-s") + 1]
    with helm.Chart.load(place) as chart:
        print("\n".join(text for path, text in chart.render({}, name=name, namespace="any").items() if path.endswith(wanted)))


main(*sys.argv[1:])
