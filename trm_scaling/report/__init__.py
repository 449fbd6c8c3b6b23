"""A study as one HTML file and one Markdown file: answers, evidence, provenance.

Page data (`page`, made by `build`), templates and writing are apart: what a report says is decided before
any of it is text in a file.
"""

from trm_scaling.report.write import (
    StudyReport,
    generate_experiment_report,
    write_study_reports,
    write_surfaces_report,
)
