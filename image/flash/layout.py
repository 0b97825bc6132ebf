"""Puts the partitions of an image into one of NVIDIA's partition layouts (XML).

    python3 - TEMPLATE DEVICE-TYPE OUTPUT ROOT-NAME FILE-PREFIX <PARTITIONS

PARTITIONS has a line `NUMBER NAME SIZE TYPE UUID CONTENT-SIZE` for each. In the one device of DEVICE-TYPE, all partitions but the
tables are replaced by them, between the primary table and the secondary one; every other device stays as it is.
"""
import sys
import xml.etree.ElementTree as ElementTree

TABLES = ("protective_master_boot_record", "primary_gpt", "secondary_gpt")


def fail(text):
    sys.exit(f"{sys.argv[1]}: {text}")


def partition(line, root_name, prefix):
    number, name, size, kind, uuid, content = line.split()
    element = ElementTree.Element("partition", name=root_name if name == "root" else name, id=number, type="data")
    fields = [
        ("allocation_policy", "sequential"),
        ("filesystem_type", "basic"),
        ("size", size),
        ("file_system_attribute", "0"),
        ("allocation_attribute", "0x8"),
        ("align_boundary", "1048576"),
        ("percent_reserved", "0"),
        ("unique_guid", uuid.upper()),
        ("partition_type_guid", kind.upper()),
    ]
    if content != "0":
        fields.append(("filename", f"{prefix}{name}.img"))
    for tag, text in fields:
        ElementTree.SubElement(element, tag).text = f" {text} "
    return element


def main():
    template, device_type, output, root_name, prefix = sys.argv[1:6]
    try:
        parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
        tree = ElementTree.parse(template, parser)
    except (OSError, ElementTree.ParseError) as error:
        fail(f"no XML that can be read: {error}")
    root = tree.getroot()
    if root.tag != "partition_layout":
        fail(f"its element is <{root.tag}>, and should be <partition_layout>")
    devices = [device for device in root.iter("device") if device.get("type") == device_type]
    if len(devices) != 1:
        there = ", ".join(sorted({device.get("type", "?") for device in root.iter("device")})) or "none"
        fail(f"it has {len(devices)} devices of the type {device_type}, and should have one; there are: {there}")
    device = devices[0]
    tables = {}
    for child in list(device):
        kind = (child.get("type") or "").strip()
        if kind in TABLES:
            if kind in tables:
                fail(f"its {device_type} has two partitions of the type {kind}")
            tables[kind] = child
        device.remove(child)
    if "primary_gpt" not in tables or "secondary_gpt" not in tables:
        fail(f"its {device_type} has no primary_gpt or no secondary_gpt")
    ours = [partition(line, root_name, prefix) for line in sys.stdin if line.strip()]
    for child in (tables.get(TABLES[0]), tables[TABLES[1]], *ours, tables[TABLES[2]]):
        if child is not None:
            device.append(child)
    if hasattr(ElementTree, "indent"):
        ElementTree.indent(tree, space="    ")
    tree.write(output, encoding="utf-8", xml_declaration=True)


main()
