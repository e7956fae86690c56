from tiny_audio.evaluation.report.report_folder import write_report

__all__ = ["write_report"]
