from __future__ import annotations

from django.urls import path

from survey import views

app_name = "survey"
urlpatterns = [
    path("<slug:slug>/", views.welcome, name="welcome"),
    path("<slug:slug>/join/", views.join, name="join"),
    path("<slug:slug>/rate/", views.rate, name="rate"),
    path("<slug:slug>/thanks/", views.thanks, name="thanks"),
    path("<slug:slug>/withdraw/", views.withdraw, name="withdraw"),
    path("<slug:slug>/picture/<str:code>.png", views.picture, name="picture"),
]
