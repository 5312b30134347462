"""What a test does to a page, and reads of it."""


def shown(page, name):
    """A number as it is printed at the place of that identifier."""
    text = page.inner_text(f"#{name}")
    return float(text.split("±")[0].split()[0].replace("−", "-"))


def set_slider(page, name, value):
    page.eval_on_selector(
        f"#{name}",
        "(e, value) => { e.value = value; e.dispatchEvent(new Event('input')); }",
        str(value),
    )


def wait_until(page, expression):
    """As ``wait_for_function``, which the page's policy forbids."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"never came true: {expression}")


def press(page, selector, key, times=1):
    page.focus(selector)
    for _ in range(times):
        page.keyboard.press(key)
