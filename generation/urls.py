from __future__ import annotations

from django.urls import path, re_path

from generation.pictures import views

app_name = "generation"
urlpatterns = [
    re_path(
        r"^source/(?P<pk>\d+)/(?P<kind>picture|thumbnail)\.png$",
        views.source_picture,
        name="source_picture",
    ),
    path("render/<int:pk>.png", views.render_picture, name="render_picture"),
    path(
        "render/<int:pk>/thumbnail.jpg",
        views.render_thumbnail,
        name="render_thumbnail",
    ),
    path(
        "render/<int:pk>/<int:evaluations>.jpg",
        views.render_preview,
        name="render_preview",
    ),
]
