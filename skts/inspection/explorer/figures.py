"""The figures of the page in bokeh; its script fills them, so they come without data."""

from typing import Any

from skts.inspection.style import ACCENT

__all__ = ["figures"]

_GREY = "#8a8f98"
_MAP_SIZE = 5


def figures(models: list[str]) -> dict[str, Any]:
    """A map for each model, the shape of the selection, and the record, by the name of their place on the page."""
    from bokeh.models import ColumnDataSource

    columns = ["color", "info", *(f"{axis}{i}" for i in range(len(models)) for axis in "xy")]
    points = ColumnDataSource({name: [] for name in columns}, name="points")
    maps = {f"map{i}": _map(f"map{i}", points, f"x{i}", f"y{i}") for i in range(len(models))}
    return {**maps, "shape": _shape(), "record": _record()}


def _figure(name: str, **settings: Any) -> Any:
    from bokeh.plotting import figure

    plot = figure(name=name, sizing_mode="stretch_both", min_border=4, output_backend="canvas", **settings)
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.outline_line_color = None
    plot.background_fill_color = None
    plot.border_fill_color = None
    return plot


def _map(name: str, points: Any, x: str, y: str) -> Any:
    from bokeh.models import BoxSelectTool, HoverTool, LassoSelectTool, PanTool, ResetTool, TapTool, WheelZoomTool

    lasso, wheel = LassoSelectTool(description="Loop: select dots"), WheelZoomTool(description="Wheel: zoom")
    hover = HoverTool(tooltips="@info", point_policy="snap_to_data", visible=False)
    box, pan = BoxSelectTool(description="Box: select dots"), PanTool(description="Move the map")
    plot = _figure(name, tools=[lasso, box, pan, wheel, TapTool(visible=False), hover, ResetTool()])
    plot.toolbar.active_drag, plot.toolbar.active_scroll = lasso, wheel
    plot.toolbar.active_inspect = hover
    plot.match_aspect = True
    plot.axis.visible = False
    plot.grid.visible = False
    plot.x_range.range_padding = plot.y_range.range_padding = 0.06
    path = plot.line([], [], line_color=_GREY, line_alpha=0.45, line_width=0.8, name=f"{name}_path")
    path.visible = False
    dots = plot.scatter(
        x,
        y,
        source=points,
        size=_MAP_SIZE,
        fill_color="color",
        line_color=None,
        fill_alpha=0.85,
        nonselection_fill_color="color",
        nonselection_fill_alpha=0.13,
        nonselection_line_color=None,
        selection_fill_alpha=1.0,
        selection_line_color="#1d2430",
        selection_line_width=0.7,
        name=f"{name}_dots",
    )
    for tool in (lasso, box, hover):
        tool.renderers = [dots]
    pointed = plot.scatter([], [], size=14, fill_color=None, line_color="#1d2430", line_width=2, name=f"{name}_pointed")
    pointed.level = "overlay"
    return plot


def _shape() -> Any:
    plot = _figure("shape", tools="")
    plot.toolbar_location = None
    _quiet_axes(plot)
    plot.xaxis.axis_label = "step"
    plot.multi_line([], [], line_color=_GREY, line_alpha=0.3, line_width=0.6, name="shape_each")
    plot.varea([], [], [], fill_color=ACCENT, fill_alpha=0.22, name="shape_band")
    plot.line([], [], line_color=ACCENT, line_width=2.4, name="shape_mean")
    plot.line([], [], line_color="#1d2430", line_width=1.4, line_dash="4 2", name="shape_pointed")
    return plot


def _record() -> Any:
    from bokeh.models import BoxSelectTool, PanTool, Range1d, ResetTool, WheelZoomTool

    brush = BoxSelectTool(dimensions="width", renderers=[], description="Brush: select windows")
    zoom, pan = WheelZoomTool(dimensions="width", description="Wheel: zoom in time"), PanTool(dimensions="width")
    plot = _figure("record", tools=[brush, pan, zoom, ResetTool()], x_range=Range1d(0, 1), y_range=Range1d(0, 1))
    plot.toolbar.active_drag, plot.toolbar.active_scroll = brush, zoom
    plot.extra_y_ranges = {"strip": Range1d(0, 1)}
    _quiet_axes(plot)
    flat = {"y_range_name": "strip"}
    plot.quad([], [], [], [], fill_color=ACCENT, fill_alpha=0.2, line_color=None, name="record_selected", **flat)
    plot.quad([], [], [], [], fill_color="#f0b429", fill_alpha=0.4, line_color=None, name="record_pointed", **flat)
    plot.line([], [], line_color="#3c4555", line_width=1.0, name="record_line")
    strip = plot.quad([], [], [], [], fill_color="white", fill_alpha=0.9, line_color=None, name="record_strip", **flat)
    strip.data_source.data.update(color=[], alpha=[])
    strip.glyph.fill_color, strip.glyph.fill_alpha = {"field": "color"}, {"field": "alpha"}
    return plot


def _quiet_axes(plot: Any) -> None:
    plot.grid.grid_line_color = "#e6e8ec"
    plot.axis.axis_line_color = None
    plot.axis.minor_tick_line_color = None
    plot.axis.major_tick_line_color = "#c9cdd3"
    plot.axis.major_label_text_color = plot.axis.axis_label_text_color = "#5b6472"
    plot.axis.axis_label_text_font_style = "normal"
    plot.yaxis.formatter.power_limit_high = 4
