"""Scripts by which a browser's driver moves the controls of a panel, and sees what it shows."""

#: Everything that a section shows: words, curves and pixels.
SEEN = """
    const section = document.getElementById(arguments[0]);
    const pixels = Array.from(section.querySelectorAll("canvas"), (c) => c.toDataURL());
    const places = Array.from(section.querySelectorAll("output"), (o) => o.textContent);
    return section.innerHTML + pixels.join() + places.join();
"""
#: Puts a slider or a choice to a value or an option.
MOVE = """
    const control = document.getElementById(arguments[0]);
    if (control.type === "range") control.value = arguments[1];
    else control.selectedIndex = arguments[1];
    control.dispatchEvent(new Event("input"));
    control.dispatchEvent(new Event("change"));
"""
#: Sliders and choices of a section, with their first and last places and their names.
CONTROLS = """
    const found = document.getElementById(arguments[0]).querySelectorAll("input, select");
    return Array.from(found, (c) => ({
        id: c.id,
        name: c.labels.length ? c.labels[0].textContent.trim() : "",
        ends: c.type === "range" ? [c.min, c.max] : [0, c.options.length - 1],
    }));
"""


def evaluated(page, script, *values):
    """Run such a script in a page of Chromium's, as Firefox's driver runs it."""
    return page.evaluate(f"(values) => (function () {{ {script} }})(...values)", list(values))
