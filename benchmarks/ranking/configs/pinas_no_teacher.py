# Without mean teacher: the student is its own.
_base_ = ["pinas.py"]

model = dict(teacher=dict(_delete_=True, type="pinas_mm.SelfTeacher"))
