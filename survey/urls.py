from __future__ import annotations

from django.urls import path

from survey.participant import views

app_name = "survey"
urlpatterns = [
    path("<slug:slug>/", views.welcome, name="welcome"),
    path("<slug:slug>/join/", views.join, name="join"),
    path("<slug:slug>/forget/", views.forget, name="forget"),
    path("<slug:slug>/declined/", views.declined, name="declined"),
    path("<slug:slug>/before/", views.before, name="before"),
    path("<slug:slug>/checks/", views.checks, name="checks"),
    path("<slug:slug>/rate/", views.rate, name="rate"),
    path("<slug:slug>/after/", views.after, name="after"),
    path("<slug:slug>/thanks/", views.thanks, name="thanks"),
    path("<slug:slug>/code/", views.code, name="code"),
    path("<slug:slug>/resume/", views.resume, name="resume"),
    path("<slug:slug>/withdraw/", views.withdraw, name="withdraw"),
    path("<slug:slug>/picture/<str:code>.png", views.picture, name="picture"),
    path("<slug:slug>/check/<str:name>.svg", views.vision_check, name="vision_check"),
]
