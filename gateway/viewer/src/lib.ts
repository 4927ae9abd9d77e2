/** What a page that embeds the viewer imports: the element and its helpers. */
export {};
